(class_declaration name: (type_identifier) @name body: (_) @body) @class
(abstract_class_declaration name: (type_identifier) @name body: (_) @body) @class
(export_statement value: (class name: (type_identifier) @name body: (_) @body) @class)
(interface_declaration name: (type_identifier) @name body: (_) @body) @class
(enum_declaration name: (identifier) @name body: (_) @body) @class
(internal_module name: (identifier) @name body: (_) @body) @class
(function_signature name: (identifier) @name) @function
(method_signature name: (_) @name) @function
(abstract_method_signature name: (_) @name) @function
(public_field_definition name: (_) @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]) @function

(expression_statement (internal_module) @wrapped) @wrapper
(ambient_declaration [(function_signature) (class_declaration) (abstract_class_declaration) (interface_declaration)] @wrapped) @wrapper
(class_body (decorator)+ @wrapper . (comment)* . [(method_definition) (public_field_definition) (abstract_method_signature)] @wrapped)

(import_statement (import_require_clause (identifier) @import.alias source: (string (string_fragment) @import.module))) @import
(export_statement "=" (identifier) @export.local) @export

(variable_declarator name: (identifier) @typed type: (type_annotation (_) @type))
(required_parameter pattern: (identifier) @typed type: (type_annotation (_) @type))
(optional_parameter pattern: (identifier) @typed type: (type_annotation (_) @type))
(public_field_definition name: [(property_identifier) (private_property_identifier)] @typed.own type: (type_annotation (_) @type))
(public_field_definition name: [(property_identifier) (private_property_identifier)] @typed.own
  value: (new_expression constructor: [(identifier) (member_expression)] @type))
(property_signature name: (property_identifier) @typed.own type: (type_annotation (_) @type))
(required_parameter (accessibility_modifier) pattern: (identifier) @typed.own type: (type_annotation (_) @type))
(required_parameter "readonly" pattern: (identifier) @typed.own type: (type_annotation (_) @type))
(function_declaration name: (identifier) @returns return_type: (type_annotation (_) @type))
(function_signature name: (identifier) @returns return_type: (type_annotation (_) @type))
(method_definition name: (_) @returns return_type: (type_annotation (_) @type))
(method_signature name: (_) @returns return_type: (type_annotation (_) @type))
(abstract_method_signature name: (_) @returns return_type: (type_annotation (_) @type))
(variable_declarator name: (identifier) @returns value: (arrow_function return_type: (type_annotation (_) @type)))
