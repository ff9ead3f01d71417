; References. A name captured as @skip is a binding or a label, not a use.

(method_invocation) @call.named
(object_creation_expression type: (type_identifier) @call)
(object_creation_expression type: (generic_type (type_identifier) @call))
(object_creation_expression type: (scoped_type_identifier) @call.member)
(object_creation_expression type: (generic_type (scoped_type_identifier) @call.member))
(method_reference) @use.member
(explicit_constructor_invocation constructor: (super) @call)
(superclass [(type_identifier) (scoped_type_identifier)] @base)
(superclass (generic_type [(type_identifier) (scoped_type_identifier)] @base))
(super_interfaces (type_list [(type_identifier) (scoped_type_identifier)] @base))
(super_interfaces (type_list (generic_type [(type_identifier) (scoped_type_identifier)] @base)))
(extends_interfaces (type_list [(type_identifier) (scoped_type_identifier)] @base))
(extends_interfaces (type_list (generic_type [(type_identifier) (scoped_type_identifier)] @base)))
(scoped_type_identifier) @use.member
(type_identifier) @use
(marker_annotation name: (identifier) @use)
(annotation name: (identifier) @use)
(method_invocation object: (identifier) @name)
(field_access object: (identifier) @name)

(type_parameter (type_identifier) @skip)
