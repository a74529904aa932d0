"""What `scripts/campaign` prints: the sums of what a campaign of faults met."""
