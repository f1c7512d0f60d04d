"""The wheel has the workflow below the package; between its files, all paths stay as they are."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PARTS = ("Snakefile", "config.yaml", "workflow", "envs", "profiles", "studies")
FOLDER = "attnbench/_workflow"  # `attnbench.workflow` looks for it


def workflow_files() -> list[Path]:
    """Files of the workflow in this checkout, without caches and hidden files."""
    parts = [Path(part) for part in PARTS]
    found = [path for part in parts for path in ([part] if part.is_file() else part.rglob("*"))]
    return sorted(
        path for path in found if path.is_file() and not any(name[0] in "._" for name in path.parts)
    )


class BuildWithWorkflow(build_py):
    """Copies the workflow; an editable install does not, for it has that of the checkout."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        # What an older build left there would be shipped as well.
        shutil.rmtree(Path(self.build_lib, FOLDER), ignore_errors=True)
        for target, source in self._workflow().items():
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            self.copy_file(source, target)

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), *map(str, workflow_files())]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), *self._workflow()]

    def get_output_mapping(self) -> dict[str, str]:
        return super().get_output_mapping() | self._workflow()

    def _workflow(self) -> dict[str, str]:
        """The file in the checkout of every file in the package."""
        if self.editable_mode:
            return {}
        return {str(Path(self.build_lib, FOLDER, path)): str(path) for path in workflow_files()}


setup(cmdclass={"build_py": BuildWithWorkflow})
