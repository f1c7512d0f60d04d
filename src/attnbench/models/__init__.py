"""One U-Net, the mechanisms that fit its slots, and the registry that joins them."""
