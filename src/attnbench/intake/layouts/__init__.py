"""One module per layout of a user's folder, each with a `recognise`."""
