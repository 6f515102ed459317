"""The demonstration's private folder: configuration, master key, client secret, databases. Written before each start; what exists is kept."""

import json
import secrets
import shutil
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CLIENT_ID = "carnet"


class Place:
    """Everything the demonstration writes is in `folder`."""

    def __init__(self, folder: Path, *, port: int, app_port: int, admin_port: int) -> None:
        self.folder = folder
        self.issuer = f"http://localhost:{port}"
        self.app_url = f"http://localhost:{app_port}"
        self.port, self.app_port, self.admin_port = port, app_port, admin_port
        self.config = folder / "vestibule.yaml"
        self.seeded = folder / "seeded"
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
            "establishments": [
                {
                    "slug": "tilleuls",
                    "name": "Les Tilleuls",
                    "finess": "690012345",
                    "contact": contact("Nadia Ferrand", "tilleuls", "04 00 00 01 23"),
                    "logo": str(HERE / "logos" / "tilleuls.svg"),
                },
                {
                    "slug": "glycines",
                    "name": "Les Glycines",
                    "finess": "690054321",
                    "contact": contact("Yann Le Goff", "glycines", "04 00 00 04 56"),
                    "logo": str(HERE / "logos" / "glycines.svg"),
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
                    "scopes": ["openid", "profile", "email", "establishment"],
                }
            ],
        }
