#!/usr/bin/env bash
# Makes sure that programs which tests or the bench drive are here, from Debian's packages.
#   packages.sh program=package ...   a program on PATH, or one of: mod_auth_openidc.so, initdb, fonts, Python.h, provision, dsdb, vfs
#   packages.sh --venv python3        that this Python can make a virtual environment
# Installs what is missing when root; otherwise says plainly what to install and fails.
set -euo pipefail

is_here() {
    case "$1" in
    mod_auth_openidc.so) [[ -e /usr/lib/apache2/modules/mod_auth_openidc.so ]] ;;
    initdb) compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ;;
    Python.h) compgen -G '/usr/include/python3*/Python.h' >/dev/null || compgen -G '/usr/local/include/python3*/Python.h' >/dev/null ;;
    provision) [[ -d /usr/share/samba/setup ]] ;;
    dsdb | vfs) compgen -G "/usr/lib/*/samba/$([[ $1 == dsdb ]] && echo ldb/samba_dsdb || echo vfs/acl_xattr).so" >/dev/null ;;
    lmnsd_ossl) compgen -G '/usr/lib/*/rsyslog/lmnsd_ossl.so' >/dev/null ;;
    fonts) compgen -G '/usr/share/fonts/truetype/*/*.ttf' >/dev/null ;;
    *) PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$1" >/dev/null ;;
    esac
}

install() {
    if [[ $EUID -ne 0 ]] || ! command -v apt-get >/dev/null; then
        echo "Missing on this machine: $*" >&2
        echo "Install with: sudo apt-get install --no-install-recommends $*" >&2
        exit 1
    fi
    echo "Installing Debian packages: $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q -y install --no-install-recommends "$@" >/dev/null 2>&1 || {
        apt-get -q update >/dev/null
        apt-get -q -y install --no-install-recommends "$@" >/dev/null
    }
}

if [[ "${1:-}" == --venv ]]; then
    python=${2:-python3}
    command -v "$python" >/dev/null || install python3 python3-venv
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "$python is $("$python" --version); Python 3.11 or newer is needed (make PYTHON=python3.12 ...)" >&2
        exit 1
    }
    "$python" -c 'import ensurepip' 2>/dev/null || install python3-venv
    exit 0
fi

missing=()
for pair in "$@"; do
    is_here "${pair%%=*}" || missing+=("${pair#*=}")
done
if ((${#missing[@]})); then
    install "${missing[@]}"
fi
