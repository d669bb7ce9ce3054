"""Who is calling, and what webapp knows of authsvc."""
