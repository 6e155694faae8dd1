"""The same for Channels, in both of its kinds."""

from asgiref.sync import async_to_sync
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer


class Echo(AsyncWebsocketConsumer):
    """Sends back what comes."""

    async def receive(self, text_data=None, bytes_data=None):
        """A message has come."""
        await self.send(text_data=text_data, bytes_data=bytes_data)


class Broadcast(AsyncWebsocketConsumer):
    """Sends what comes to a group."""

    async def connect(self):
        """A client has come."""
        await self.channel_layer.group_add("all", self.channel_name)
        await self.accept()
        await self.send("joined")

    async def disconnect(self, code):
        """A client has gone."""
        await self.channel_layer.group_discard("all", self.channel_name)

    async def receive(self, text_data=None, bytes_data=None):
        """A message has come."""
        await self.channel_layer.group_send("all", {"type": "said", "text": text_data})

    async def said(self, event):
        """A message of the group."""
        await self.send(event["text"])


class SyncEcho(WebsocketConsumer):
    """Sends back what comes."""

    def receive(self, text_data=None, bytes_data=None):
        """A message has come."""
        self.send(text_data=text_data, bytes_data=bytes_data)


class SyncBroadcast(WebsocketConsumer):
    """Sends what comes to a group."""

    def connect(self):
        """A client has come."""
        async_to_sync(self.channel_layer.group_add)("all", self.channel_name)
        self.accept()
        self.send("joined")

    def disconnect(self, code):
        """A client has gone."""
        async_to_sync(self.channel_layer.group_discard)("all", self.channel_name)

    def receive(self, text_data=None, bytes_data=None):
        """A message has come."""
        async_to_sync(self.channel_layer.group_send)("all", {"type": "said", "text": text_data})

    def said(self, event):
        """A message of the group."""
        self.send(event["text"])
