"""From tasks to samples: lm-eval's questions, the engine's answers, lm-eval's evaluation of them."""
