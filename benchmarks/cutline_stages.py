"""The seconds of the stages of a compile, which the floor tells of itself.

python cutline_stages.py SOURCE TABLE
"""

import json
import sys

from cutline.process import start_server

if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    start_server()  # as the command line does

    import cutline

    with cutline.connect(cutline.Local(workers=2, dashboard_address="127.0.0.1:0")) as client:
        summary = cutline.compile_table(*sys.argv[1:], client=client)
    print(json.dumps({"stages": summary.stages}))
