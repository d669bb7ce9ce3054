"""Users, sessions, tokens and the audit log in rsU."""
