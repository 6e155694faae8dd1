"""The page and the address of each scene's WebSocket."""

from django.urls import path
from scenes import viewers, views

urlpatterns = [
    path("", views.page, name="page"),
    path("chat/oneself/", views.chat_with_oneself, name="chat_with_oneself"),
    path("chat/many/", views.chat_with_many, name="chat_with_many"),
    path("video/", views.show_video, name="show_video"),
    path("video/control/", views.control_video, name="control_video"),
    path("video/feed/", viewers.watch_feed, name="watch_feed"),
]
