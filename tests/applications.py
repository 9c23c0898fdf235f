"""Settings of applications that share a cluster with others."""

import uuid
from pathlib import Path
from typing import Any

from streams.settings import Settings


def new_application(directory: Path, **more: Any) -> Settings:  # noqa: ANN401 - any setting
    """Settings with an app and a topic prefix that no other test uses, and two partitions.

    `more` are further settings.
    """
    app = f"t{uuid.uuid4().hex[:10]}"
    named: dict[str, Any] = {
        "app": app,
        "topic_prefix": f"{app}.",
        "partitions": 2,
        "data_dir": directory,
    }
    return Settings(_env_file=None, **(named | more))
