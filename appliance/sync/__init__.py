"""Every way out: the courier drains the outbox to the configured targets, and never gives up."""
