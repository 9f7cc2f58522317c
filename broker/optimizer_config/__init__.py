"""What is configured: optimizer.toml, the environment and the built-in catalogue of backends, typed and validated.

Pure apart from reading files.
"""
