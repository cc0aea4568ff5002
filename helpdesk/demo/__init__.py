"""A desk to look at: an invented company in a scratch folder, served by the real daemon, and people who write to it."""
