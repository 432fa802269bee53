"""`python -m services.broker`"""

import sys

from services.broker.service import main

sys.exit(main())
