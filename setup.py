"""What pyproject.toml cannot say: the wheel holds conf/, which lies outside src/."""

from setuptools import find_namespace_packages, setup

setup(
    packages=[*find_namespace_packages("src"), "losslab.conf"],
    package_dir={"": "src", "losslab.conf": "conf"},
    package_data={
        "losslab": ["py.typed", "report/*.bib", "losses/functional/*.cpp"],
        "losslab.conf": ["**/*.yaml"],
    },
    exclude_package_data={"losslab.conf": ["local/*"]},
)
