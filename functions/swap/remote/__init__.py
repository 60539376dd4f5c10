"""Where the swapper runs elsewhere: aligned crops go out and come back, and everything else stays here."""
