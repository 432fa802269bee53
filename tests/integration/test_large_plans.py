"""Plans of thousands of steps over HTTP: taken whole, or refused at once."""

from __future__ import annotations

import http.client
import json

import httpx

from tests.conftest import Cluster


def client(cluster: Cluster) -> httpx.Client:
    token = (cluster.home / "token").read_text()
    address = f"http://127.0.0.1:{cluster.environment['MAKIMA_PORT']}"
    return httpx.Client(base_url=address, headers={"authorization": f"Bearer {token}"}, timeout=60)


def test_five_thousand_steps_are_taken_in_one_batch(cluster: Cluster) -> None:
    steps = [
        {
            "name": f"S{n}",
            "taskPlan": "true # " + "x" * 200,
            "dependsOn": [n - 1] if n else [],
            "files": [f"src/{n}.py"],
        }
        for n in range(5000)
    ]
    with client(cluster) as http_client:
        directive = http_client.post("/v1/directives", json={"title": "Large", "goal": "x"}).json()["id"]
        answer = http_client.post(f"/v1/directives/{directive}/steps", json={"steps": steps})
        assert answer.status_code == 201, answer.text
        assert len(answer.json()["steps"]) == 5000
        print(f"5,000 steps in {answer.elapsed.total_seconds():.2f} s")
        one_more = http_client.post(f"/v1/directives/{directive}/steps", json={"steps": [*steps, {"name": "S5000"}]})
        assert one_more.status_code == 422
        assert "at most 5000 go in one batch" in one_more.json()["detail"]


def test_ten_megabytes_are_refused_before_they_are_read(cluster: Cluster) -> None:
    with client(cluster) as http_client:
        directive = http_client.post("/v1/directives", json={"title": "Large", "goal": "x"}).json()["id"]
    connection = http.client.HTTPConnection("127.0.0.1", int(cluster.environment["MAKIMA_PORT"]), timeout=30)
    connection.putrequest("POST", f"/v1/directives/{directive}/steps")
    connection.putheader("Authorization", f"Bearer {(cluster.home / 'token').read_text()}")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(10 << 20))
    connection.endheaders()
    answer = connection.getresponse()  # though not a byte of the body was sent
    assert answer.status == 413
    assert "larger" in json.loads(answer.read())["detail"].lower()
    connection.close()
