"""The segments that come with the sample shop: the recommended first three, a few more, and one for the service desk."""

SEGMENTS = """\
[[segment]]
name = "New customers"
use = "new_customers"
push = ["mailchimp"]

[[segment]]
name = "Repeat customers"
use = "repeat_customers"
push = ["mailchimp", "hubspot"]

[[segment]]
name = "Inactive subscribers"
use = "inactive_subscribers"
push = ["mailchimp"]

[[segment]]
name = "VIP"
where = "orders_365d >= 5 and revenue_365d > 150"
push = ["mailchimp", "hubspot", "shopify"]

[[segment]]
name = "Win back"
use = "win_back"
days = 120
push = ["mailchimp"]

[[segment]]
name = "Dark roast lately"
where = "bought(category => 'Dark roast', days => 90)"
push = ["mailchimp"]

[[segment]]
name = "May leave"
where = "churn_tier = 'high' and orders_total >= 3"
push = ["hubspot"]

[[segment]]
name = "Recent tickets"
use = "recent_tickets"
purpose = "service"
push = ["hubspot"]
"""
