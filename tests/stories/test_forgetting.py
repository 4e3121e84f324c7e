"""A person asks what is held of them, and then to be forgotten: from the first page to the last tag."""

from __future__ import annotations

import zipfile
from pathlib import Path

import zstandard

from tests.stories.story import AS_OF, Story, segments

EVERYWHERE = '["mailchimp", "hubspot", "shopify"]'


def every_byte(folder: Path) -> bytes:
    """All files but the sandbox's secrets, unpacked where they are packed."""
    found = []
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        body = file.read_bytes()
        found.append(zstandard.ZstdDecompressor().decompress(body) if file.suffix == ".zst" else body)
        if file.suffix == ".zip":
            with zipfile.ZipFile(file) as z:
                found += [z.read(n) for n in z.namelist()]
    return b"\n".join(found)


def test_a_person_is_handed_their_data_forgotten_untagged_and_never_taken_in_again(pulled: Story) -> None:
    pulled.configure(segments(EVERYWHERE))
    pulled.ok("push", "--first", "--as-of", AS_OF)
    pulled.ok("report", "--as-of", AS_OF)
    pulled.ok("backup", "usb")
    email = sorted(pulled.tags()["Frequent"])[0]
    tags = pulled.tags()
    carried = {name for name, held in tags.items() if email in held}

    body = pulled.ok("export", email, "--as-of", AS_OF, "--json").json
    assert body["known_as"] == [email] and {s["source"] for s in body["sources"]} >= {"Shopify", "Mailchimp"}
    assert len(body["data"]["orders"]) >= 3 and body["answers"] and body["figures"]["orders_total"] >= 3
    assert {g["segment"] for g in body["segments"] if g["is_member"]} == carried
    assert {e["action"] for e in body["written"]["log"]} == {"add"}
    assert len(body["written"]["now"]) == len(body["written"]["log"]) >= 2
    letter = Path(pulled.ok("export", email, "--as-of", AS_OF, "--letter", "--json").json["letter"])
    assert letter.stat().st_mode & 0o777 == 0o600 and email in letter.read_text()
    assert email.encode() in every_byte(pulled.folder)

    forgot = pulled.ok("forget", email, "--as-of", AS_OF, "--json").json

    ids = [contact for _, contact in forgot["places"]]
    assert forgot["people"] == 1 and forgot["tags"] == len(body["written"]["now"]) and len(forgot["steps"]) == len(ids)
    assert not letter.exists() and (pulled.folder / "rollcall-report.html").exists()
    left = every_byte(pulled.folder)
    assert [w for w in (email, *(i for i in ids if len(i) > 8)) if w.encode() in left] == []
    assert "whole" in pulled.ok("runs", "verify").out
    assert pulled.tags() == tags  # forgetting writes nothing to any platform

    pulled.ok("push", "--as-of", AS_OF)
    assert pulled.tags() == {name: held - {email} for name, held in tags.items()}
    removed = [w for w in pulled.writes() if "remove" in w["kind"]]
    assert len(removed) == forgot["tags"]

    again = pulled.run("backfill", "--json")
    assert again.code == 3 and {r for (r,) in pulled.sql("SELECT DISTINCT reason FROM set_aside")} == {"forgotten"}
    assert all(s["fetched"] == s["stored"] + s["unchanged"] + s["set_aside"] for s in again.json["streams"])
    assert pulled.ok("backfill", "--json").code == 0  # known by now
    assert "Nothing would change" in pulled.ok("plan", "--as-of", AS_OF).out
    assert email.encode() not in every_byte(pulled.folder)
    assert pulled.run("export", email).code == 2
    assert "whole" in pulled.ok("runs", "verify").out


def test_a_trail_that_somebody_edited_is_told_and_a_push_leaves_a_backup(pulled: Story) -> None:
    pulled.ok("push", "--first", "--as-of", AS_OF)
    assert len(list((pulled.folder / "rollcall.backups").iterdir())) == 1
    pulled.edit_store("UPDATE audit SET object_id = 'other' WHERE seq = 5")
    answer = pulled.run("runs", "verify", "--json")
    assert answer.code == 1 and answer.json["problem"] == "entry 5 was changed after it was written"
