"""Health endpoints for load balancers and supervisors."""
