"""Looking at replica sets member by member, with the web tier up or down."""
