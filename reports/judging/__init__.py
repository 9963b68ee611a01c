"""Numbers of judged answers: scores, differences, biases and faults of the judge, and calibration by people."""
