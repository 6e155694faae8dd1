"""The WSGI application of the example project."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "article.settings")

application = get_wsgi_application()
