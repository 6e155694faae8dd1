"""The scenarios that are played on dwebsocket 0.5.12 and on dwebsocket-rs, and compared.

Everything here but ``player`` runs in two environments: that of the tests, and one that has only Django 3.0,
gunicorn and the original. So it imports nothing but the standard library, Django and dwebsocket.
"""
