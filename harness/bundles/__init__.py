"""Makes bundles: what a run needs is planned, fetched from the hub and recorded in a manifest."""
