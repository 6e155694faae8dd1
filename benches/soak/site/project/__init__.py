"""A project with a view for each way to use a WebSocket."""
