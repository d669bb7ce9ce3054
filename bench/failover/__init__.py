"""The campaigns of failover: long runs, each of which prints one Markdown table. ``make help`` names them."""
