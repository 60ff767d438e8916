"""Sign-in by password and by a one-time link, and sign-out."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from jobs.people import accounts

PASSWORD = "a long enough password"


def test_a_password_opens_the_overview(client, owner):
    owner.set_password(PASSWORD)
    owner.save()
    answer = client.post(reverse("login"), {"username": owner.username, "password": PASSWORD})
    assert answer.status_code == 302
    assert answer.url == reverse("home")


def test_a_wrong_password_has_a_message_and_keeps_the_name(client, owner):
    answer = client.post(reverse("login"), {"username": owner.username, "password": "nonsense"})
    assert answer.status_code == 200
    assert owner.username in answer.text
    assert "correct username and password" in answer.text


def test_ten_wrong_passwords_lock_the_sign_in_with_a_message(client, owner):
    for _ in range(10):
        answer = client.post(reverse("login"), {"username": owner.username, "password": "nonsense"})
    assert answer.status_code == 429
    assert "Too many wrong passwords" in answer.text


def test_a_link_signs_in_once_only(client, owner):
    address = reverse("login-link", args=[accounts.make_login_link(owner)])
    assert client.get(address).url == reverse("home")
    assert client.get(reverse("jobs")).status_code == 200
    second = Client().get(address)
    assert second.status_code == 404
    assert "is not valid" in second.text


def test_a_link_preview_does_not_consume_the_link(client, owner):
    address = reverse("login-link", args=[accounts.make_login_link(owner)])
    assert client.head(address).status_code == 405
    assert client.get(address).status_code == 302


@pytest.mark.django_db
def test_an_unknown_link_does_not_sign_in(client):
    assert client.get(reverse("login-link", args=["invented"])).status_code == 404
    assert "_auth_user_id" not in client.session


def test_signing_out_ends_the_session(owner_browser):
    assert owner_browser.get(reverse("logout")).status_code == 405  # a link from elsewhere cannot sign out
    owner_browser.post(reverse("logout"))
    assert owner_browser.get(reverse("jobs")).status_code == 302
