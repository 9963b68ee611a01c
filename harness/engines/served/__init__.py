"""Models behind OpenAI-compatible servers: the client, the probes of a server, and the engine."""
