#!/bin/sh
# Print a command that runs Python 3.11, or say what is missing.
for candidate in ${PYTHON:-} python3.11 python3 python; do
    # A name on the path may still be a version manager's shim for a version that is not there.
    if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
        echo "$candidate"
        exit 0
    fi
done
cat >&2 <<'TEXT'
Steuervektor needs Python 3.11; neither python3.11 nor python3 on the path is that version.
Install it (Debian 12: apt install python3.11 python3.11-venv; macOS: brew install python@3.11;
anywhere: uv python install 3.11 or pyenv install 3.11), or name it: PYTHON=/path/to/python3.11 make demo
TEXT
exit 1
