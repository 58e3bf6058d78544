from pathlib import Path

from qweft.cli.main import main


def test_report_makes_one_anew(fake, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("runs/demo").mkdir(parents=True)
    Path("runs/demo/results.json").write_text("{}")
    seen = []
    fake("qweft.comparison.report.write", remake_report=lambda *given: seen.append(given) or Path("a/report.html"))
    assert main(["report", "runs/demo"]) == 0
    assert main(["report", "runs/demo", "--output", "elsewhere"]) == 0
    assert seen == [(Path("runs/demo"), None), (Path("runs/demo"), Path("elsewhere"))]
    assert capsys.readouterr().out == "report: a/report.html\n" * 2
