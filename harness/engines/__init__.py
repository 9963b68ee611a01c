"""What answers requests for one base and its adapters: the interface, transformers, vLLM, and the choice of one."""
