"""Members of teams: every sequence of changes leaves a team with a lead and an audit log that fits it."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from jobs.models import ApiToken, AuditEntry, Invitation, Membership, Team
from jobs.models.people import Role
from jobs.people import api_tokens, audit, members
from jobs.people.accounts import PeopleError

pytestmark = pytest.mark.django_db
LEA = audit.Source("lea", "10.0.0.7")


@pytest.fixture
def lead(team: Team) -> User:
    user = User.objects.create_user("lea")
    Membership.objects.create(team=team, user=user, role=Role.LEAD)
    return user


def _try(change, *arguments) -> bool:
    try:
        change(*arguments, LEA)
    except PeopleError:
        return False
    return True


@pytest.mark.parametrize("seed", range(20))
def test_random_changes_keep_a_lead_and_agree_with_a_model(team, lead, seed):
    rng = random.Random(seed)
    people = [lead, *(User.objects.create_user(f"p{number}") for number in range(4))]
    roles = {lead.pk: Role.LEAD}
    for _ in range(40):
        user, role = rng.choice(people), rng.choice(list(Role))
        row = Membership.objects.filter(team=team, user=user).first()
        leads = [pk for pk, one in roles.items() if one == Role.LEAD]
        is_last = leads == [user.pk]
        kind = rng.choice(["add", "role", "remove"])
        if kind == "add" or row is None:
            assert _try(members.add, team, user, role) == (user.pk not in roles)
            roles.setdefault(user.pk, role)
        elif kind == "role":
            assert _try(members.set_role, row, role) == (not is_last or role == Role.LEAD)
            roles[user.pk] = Role.LEAD if is_last else role
        else:
            assert _try(members.remove, row) == (not is_last)
            if not is_last:
                del roles[user.pk]
        assert dict(Membership.objects.filter(team=team).values_list("user_id", "role")) == roles
        assert Role.LEAD in roles.values()
    assert audit.verify() == (AuditEntry.objects.count(), None)


def test_a_removed_member_loses_the_tokens_of_this_team_only(team, other_team, lead, owner):
    Membership.objects.create(team=other_team, user=owner)
    lost, kept = api_tokens.create_token(owner, team, "a"), api_tokens.create_token(owner, other_team, "b")
    members.remove(Membership.objects.get(team=team, user=owner), LEA)
    assert api_tokens.find(lost) is None
    assert api_tokens.find(kept).team == other_team
    assert ApiToken.objects.count() == 1


def test_a_deactivated_lead_does_not_count(team, lead):
    other = User.objects.create_user("gone", is_active=False)
    Membership.objects.create(team=team, user=other, role=Role.LEAD)
    with pytest.raises(PeopleError, match="only lead"):
        members.remove(Membership.objects.get(user=lead), LEA)


def test_an_invitation_works_once_and_only_its_hash_is_stored(team, lead, stranger):
    token = members.invite(team, Role.MEMBER, 7, LEA)
    assert token not in str(Invitation.objects.values().get())
    invitation = members.find_invitation(token)
    assert members.accept(invitation, stranger, audit.Source("sam")).role == Role.MEMBER
    assert members.find_invitation(token) is None
    with pytest.raises(PeopleError, match="used or revoked"):
        members.accept(invitation, lead, LEA)


@pytest.mark.parametrize(
    ("held", "offered", "kept"),
    [("viewer", "member", "member"), ("lead", "viewer", "lead"), ("member", "member", "member")],
)
def test_an_invitation_never_lowers_a_role(team, lead, stranger, held, offered, kept):
    Membership.objects.create(team=team, user=stranger, role=held)
    token = members.invite(team, offered, 1, LEA)
    members.accept(members.find_invitation(token), stranger, audit.Source("sam"))
    assert Membership.objects.get(team=team, user=stranger).role == kept


@pytest.mark.parametrize("days", [0, -1, 61, 10**6])
def test_an_invitation_needs_a_sane_lifetime(team, days):
    with pytest.raises(PeopleError) as refused:
        members.invite(team, Role.MEMBER, days, LEA)
    assert refused.value.field == "days"


def test_an_old_or_revoked_invitation_is_not_found(team):
    old, revoked = (members.invite(team, Role.LEAD, 1, LEA) for _ in range(2))
    members.revoke_invitation(members.find_invitation(revoked), LEA)
    assert members.find_invitation(revoked) is None
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert members.find_invitation(old) is None


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "\0"])
def test_a_team_needs_a_name(db, name):
    with pytest.raises(PeopleError) as refused:
        members.create_team(name, LEA)
    assert refused.value.field == "name"


def test_two_teams_with_one_address_are_refused_with_it(db):
    assert members.create_team("Vision Lab", LEA).slug == "vision-lab"
    with pytest.raises(PeopleError, match="vision-lab"):
        members.create_team("Vision  lab", LEA)
    assert members.create_team("视觉", LEA).slug.startswith("team-")
