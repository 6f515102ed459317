"""The demonstration's private folder: configuration, master key, client secret, databases, the invented telephone. What exists is kept.

The configuration is written before each start. What it says of the network: this machine is inside Les Tilleuls, and outside everywhere else.
"""

import json
import secrets
import shutil
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CLIENT_ID = "carnet"
# A person of Les Tilleuls who sits at this machine is inside; one of Les Glycines, whose network is elsewhere, is not.
THIS_MACHINE = ["127.0.0.0/8", "::1/128"]
ELSEWHERE = ["10.77.0.0/16"]


class Place:
    """Everything the demonstration writes is in `folder`."""

    def __init__(self, folder: Path, *, port: int, app_port: int, admin_port: int) -> None:
        self.folder = folder
        self.issuer = f"http://localhost:{port}"
        self.app_url = f"http://localhost:{app_port}"
        self.port, self.app_port, self.admin_port = port, app_port, admin_port
        self.config = folder / "vestibule.yaml"
        self.seeded = folder / "seeded"
        self.sms = folder / "sms.jsonl"
        self.idp_log, self.app_log = folder / "vestibule.log", folder / "carnet.log"

    def prepare(self) -> None:
        """Make the folder and write what is missing; the configuration is written again, since the ports may differ."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("master.key", "carnet.secret"):
            if not (self.folder / name).exists():
                (self.folder / name).touch(mode=0o600)
                (self.folder / name).write_text(secrets.token_urlsafe(32) + "\n", encoding="utf-8")
        # JSON is YAML.
        text = json.dumps(self._settings(), indent=2, ensure_ascii=False)
        self.config.write_text(f"# Written by python -m demo at each start: changes are lost.\n{text}\n", encoding="utf-8")

    def client_secret(self) -> str:
        """What the care application proves itself with."""
        return (self.folder / "carnet.secret").read_text(encoding="utf-8").strip()

    def empty(self) -> None:
        """Throw the demonstration's data away."""
        if self.folder.exists() and not (self.folder / "master.key").exists() and any(self.folder.iterdir()):
            raise SystemExit(f"{self.folder} is not a folder of the demonstration: nothing was deleted.")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _settings(self) -> dict[str, Any]:
        def contact(name: str, slug: str, phone: str) -> dict[str, str]:
            return {"name": name, "phone": phone, "email": f"informatique@{slug}.example"}

        return {
            "issuer": self.issuer,
            "demo": True,
            "master_key": "file:master.key",
            "server": {"listen": f"127.0.0.1:{self.port}", "admin_listen": f"127.0.0.1:{self.admin_port}", "workers": 1},
            "database": {"url": "sqlite:///vestibule.db"},
            "ephemeral": {"url": "sqlite:///ephemeral.db"},
            "pages": {"support": "Démonstration (demo) : 04 00 00 00 00"},
            # No mail: its addresses are invented. SMS go to a file, which the telephone of the demonstration shows.
            "sms": {"file": self.sms.name, "daily_per_person": 10},
            # Visitors have no passkey of the director's: here any of his factors approves.
            "resets": {"approval": "any_factor"},
            "establishments": [
                {
                    "slug": "tilleuls",
                    "name": "Les Tilleuls",
                    "finess": "690012345",
                    "contact": contact("Nadia Ferrand", "tilleuls", "04 00 00 01 23"),
                    "logo": str(HERE / "logos" / "tilleuls.svg"),
                    "zones": [{"name": "poste-de-soins", "kind": "trusted", "networks": THIS_MACHINE}],
                },
                {
                    "slug": "glycines",
                    "name": "Les Glycines",
                    "finess": "690054321",
                    "contact": contact("Yann Le Goff", "glycines", "04 00 00 04 56"),
                    "logo": str(HERE / "logos" / "glycines.svg"),
                    "zones": [{"name": "salle-de-soins", "kind": "trusted", "networks": ELSEWHERE}],
                    "remember_device": "7d",
                },
            ],
            "clients": [
                {
                    "client_id": CLIENT_ID,
                    "name": "Carnet de soins",
                    "secret": "file:carnet.secret",
                    "redirect_uris": [f"{self.app_url}/retour"],
                    "post_logout_redirect_uris": [f"{self.app_url}/au-revoir"],
                    "backchannel_logout_uri": f"{self.app_url}/deconnexion-silencieuse",
                    "grant_types": ["authorization_code", "refresh_token"],
                    "scopes": ["openid", "profile", "email", "establishment", "establishments"],
                }
            ],
        }


def program() -> Path:
    """The `vestibule` command of this environment."""
    beside = Path(sys.executable).with_name("vestibule")
    return beside if beside.exists() else Path(shutil.which("vestibule") or "vestibule")
