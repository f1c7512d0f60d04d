"""Speed and memory of this project beside its peers' and the machine's limit: `make bench`."""
