"""What the settings of the suite and its attacks both need to know."""

ADDRESS_LIMIT = 300
"""WEBSOCKET_MAX_CONNECTIONS_PER_ADDRESS.

By default there is none, since behind a proxy all clients have one address.
"""
