"""What is wrong or risky on this machine and in this deployment, each with its fix. Judgements are pure."""
