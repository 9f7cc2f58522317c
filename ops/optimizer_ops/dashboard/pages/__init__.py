"""The pages: each handler gathers what its template shows."""
