"""The addresses."""

from django.urls import path

from . import views

urlpatterns = [
    path("hello/", views.hello),
    path("echo/", views.echo),
    path("length/", views.length),
    path("room/<int:number>/", views.room),
    path("flood/", views.flood),
]
