"""What every installation has, on one machine or in containers: its sets, users, secrets, configuration."""
