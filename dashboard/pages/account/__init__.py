"""A person's own pages: profile, password, API tokens, sessions."""
