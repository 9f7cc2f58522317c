"""The HTTP API: typed answers over the same sources as the pages, described by OpenAPI."""
