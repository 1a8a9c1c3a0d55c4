"""The fetch functions: what is here, what the server is asked, what moves, what comes out."""
