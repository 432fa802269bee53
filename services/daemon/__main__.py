"""`python -m services.daemon`

In asyncio's own loop: the daemon mostly starts processes, which that does by vfork. uvloop forks, copying the page
tables of the whole process each time, and holds up the loop for 5 to 40 ms a process with it.
"""

import asyncio
import sys

from services.daemon.service import main
from shared.service.process import run

sys.exit(run("daemon", main, asyncio.run))
