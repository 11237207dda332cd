"""What trained models do for people: the web page, its HTTP API, and playlists."""
