"""What answers requests for one base and its adapters: the interface, transformers, vLLM."""
