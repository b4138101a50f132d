"""What schemathesis cannot know: a certificate request is sent as it is. Loaded by `schema.py`."""

import schemathesis

schemathesis.serializer.alias("application/pkcs10", "text/plain")
