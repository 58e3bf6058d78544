from pathlib import Path

from qweft.cli.main import main


def test_report_makes_one_anew(fake, capsys):
    seen = []
    fake("qweft.comparison.results_file", check_results=lambda path: None)
    fake(
        "qweft.comparison.report.write",
        beside=None,
        remake_report=lambda *given: seen.append(given) or Path("a/report.html"),
    )
    assert main(["report", "runs/demo"]) == 0
    assert main(["report", "runs/demo", "--output", "elsewhere"]) == 0
    assert seen == [(Path("runs/demo"), None), (Path("runs/demo"), Path("elsewhere"))]
    assert capsys.readouterr().out == "report: a/report.html\n" * 2


def test_report_beside_another(fake, capsys):
    seen = []
    fake("qweft.comparison.results_file", check_results=lambda path: None)
    fake(
        "qweft.comparison.report.write",
        remake_report=None,
        beside=lambda *given: seen.append(given) or Path("a/beside.html"),
    )
    assert main(["report", "runs/demo", "--beside", "runs/other"]) == 0
    assert seen == [(Path("runs/demo"), Path("runs/other"), None)]
    assert capsys.readouterr().out == "report: a/beside.html\n"
