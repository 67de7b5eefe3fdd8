"""The containers' health check: exits 0 when the service inside is ready. The slim image has no curl."""

import os
import sys
import urllib.error
import urllib.request

try:
    port = os.environ.get("DGRL_PORT", "8000")
    urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=8)
except urllib.error.HTTPError as error:
    sys.exit(f"{error.code}: {error.read(500).decode(errors='replace')}")
except OSError as error:
    sys.exit(str(error))
