SAMPLES = {
    "opted_in": {
        "email": "ann@example.com",
        "opt_in": "true",
        "user_session_id": "s1",
        "outcome": "Bold",
        "country_code": "US",
    }
}


async def run_demo(once):
    return 0
